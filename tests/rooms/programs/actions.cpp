#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

extern char** environ;

static void report() {
    std::ifstream status("/proc/self/status");
    std::cout << status.rdbuf();
    for (char** entry = environ; *entry; ++entry) std::cout << "env " << *entry << "\n";
    for (auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code gone;
        auto to = std::filesystem::read_symlink(entry.path(), gone);
        if (!gone) std::cout << "fd " << entry.path().filename().string() << " " << to.string() << "\n";
    }
    std::cout << "cpus " << std::thread::hardware_concurrency() << "\n";
    std::cout << "cwd " << std::filesystem::current_path().string() << "\n";
    std::string input{std::istreambuf_iterator<char>(std::cin), {}};
    std::cout << "stdin " << input.size() << "\n";
    mkdir("made", 0777);
    struct stat made;
    stat("made", &made);
    std::cout << "made " << std::oct << (made.st_mode & 0777) << "\n";
}

static long down(long left, volatile long* above = nullptr) {
    volatile long here = left;
    (void)above;
    return left ? 1 + down(left - 1, &here) - (here - left) : 0;
}

static long endless(long left, volatile long* above = nullptr) {
    volatile long here = left;
    (void)above;
    return 1 + endless(left + 1, &here) + here;
}

int main(int, char** argv) {
    std::string action = argv[1];
    if (action == "report") {
        report();
    } else if (action == "eat") {
        std::cout << "before" << std::endl;
        std::vector<char*> held;
        while (true) {
            held.push_back(new char[1 << 20]);
            std::memset(held.back(), 1, 1 << 20);
        }
    } else if (action == "ask") {
        std::cout << "before" << std::endl;
        std::vector<char> held(1L << 50);
        std::cout << held.size();
    } else if (action == "deep") {
        std::cout << down(50000) << "\n";
    } else if (action == "fall") {
        std::cout << endless(0) << "\n";
    } else if (action == "flood") {
        while (true) std::cout << "tick\n";
    } else if (action == "fill") {
        std::cout << "before" << std::endl;
        std::ofstream file("big");
        file.exceptions(std::ios::badbit | std::ios::failbit);
        for (int i = 0; i < 8; ++i) file << std::string(1 << 20, 'x') << std::flush;
    } else if (action == "crowd") {
        std::cout << "before" << std::endl;
        for (int i = 0; i < 60; ++i) std::thread([] { std::this_thread::sleep_for(std::chrono::seconds(20)); }).detach();
        std::cout << "all there\n";
    } else if (action == "spin") {
        std::cout << "before" << std::endl;
        for (volatile long i = 0;; i = i + 1) {}
    } else if (action == "doze") {
        std::cout << "before" << std::endl;
        std::this_thread::sleep_for(std::chrono::minutes(1));
    } else if (action == "leave") {
        if (!fork()) sleep(60);
        std::cout << "gone\n";
    }
}
