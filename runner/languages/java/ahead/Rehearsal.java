package jvm.ahead;

/** A program that is started once, before the real one, so that what starting a program needs is loaded by then. */
final class Rehearsal {

    private Rehearsal() {}

    /** Called through {@link Start} as a program's main method would be. */
    static final class Play {
        private Play() {}

        public static void main(String[] args) {}
    }

    static void play() throws Throwable {
        Start.programOf("jvm.ahead.Rehearsal$Play").main(new String[0]);
    }
}
