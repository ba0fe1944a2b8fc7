package jvm.ahead;

import java.io.ByteArrayOutputStream;
import java.io.FileDescriptor;
import java.io.FileInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import jdk.internal.access.SharedSecrets;

/** The message that a virtual machine waits for: words in UTF-8, each ended by a zero byte, up to the end of file. */
final class Go {

    private static final int DESCRIPTOR = 3;

    private Go() {}

    /** Whether it has come already, or begun to. */
    static boolean isThere() throws IOException {
        return new FileInputStream(descriptor()).available() > 0;
    }

    /** Blocks until the message has come, and closes the descriptor. */
    static String[] read() throws IOException {
        ByteArrayOutputStream all = new ByteArrayOutputStream();
        try (FileInputStream go = new FileInputStream(descriptor())) {
            byte[] part = new byte[1 << 16];
            for (int length = go.read(part); length >= 0; length = go.read(part)) {
                all.write(part, 0, length);
            }
        }
        String words = all.toString(StandardCharsets.UTF_8);
        return words.substring(0, words.length() - 1).split("\0", -1);
    }

    private static FileDescriptor descriptor() {
        FileDescriptor descriptor = new FileDescriptor();
        SharedSecrets.getJavaIOFileDescriptorAccess().set(descriptor, DESCRIPTOR);
        return descriptor;
    }
}
