#include <complex>
#include <iostream>
#include <string>

static char shade(std::complex<double> c) {
    const std::string shades = " .:-=+*#%@";
    std::complex<double> z = 0;
    int steps = 0;
    while (steps < 90 && std::norm(z) < 4) {
        z = z * z + c;
        ++steps;
    }
    return shades[steps / 10];
}

int main() {
    for (double y = -1.1; y <= 1.1; y += 0.2) {
        for (double x = -2.1; x <= 0.7; x += 0.05) {
            std::cout << shade({x, y});
        }
        std::cout << '\n';
    }
}
