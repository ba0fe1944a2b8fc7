#include <cstdio>

int main() {
    std::puts("reaching for what is not there");
    std::fflush(stdout);
    volatile int *nothing = nullptr;
    return *nothing;
}
