// The tests' own count of C++ allocations: so many of each kind, by the operators, and nothing else of C++.
#include <new>

struct alignas(128) Wide { char bytes[256]; };

int main()
{
    static Wide *wide[101];
    static int *many[211];

    for (auto &each : wide)
        each = new Wide;
    for (auto &each : many)
        each = new (std::nothrow) int[1009];
    for (auto &each : many)
        delete[] each;
    for (auto &each : wide)
        delete each;
    return 0;
}
