"""How a virtual machine is fitted into a memory limit, and the flags that every one of ours has."""

from __future__ import annotations

#: One core's worth of CPU: serial collection. No files of the virtual machine's own in /tmp (perf data) or in the
#: caller's folder (crash reports), and no word about archives of classes that do not fit.
COMMON = (
    "-XX:+UseSerialGC",
    "-XX:ActiveProcessorCount=1",
    "-XX:-UsePerfData",
    "-XX:ErrorFile=/tmp/hs_err_pid%p.log",
)

#: The compiler: its sandbox has a GiB. It lives for a fraction of a second, so the optimising JIT never pays, and the
#: quick one only for what runs often: measured, a fifth less CPU until it waits, and nothing lost afterwards. Its
#: garbage is collected in 8 MB, which it touches again and again, rather than in many that each have to be faulted in.
BUILD = ("-Xmx640m", "-Xmn8m", "-Xss16m", "-XX:TieredStopAtLevel=1", "-XX:CompileThresholdScaling=5")

#: Below this limit (MB) the memory that the optimising compiler takes for its work is better left to the program.
_SMALL_MB = 128


def run_flags(memory_mb: int) -> tuple[str, ...]:
    """Heap and stack for a limit of *memory_mb*.

    Measured with serial collection: a virtual machine that prints one line has 16 MB of its own beside the heap, one
    whose program fills the heap with small objects about 50. The old generation takes what large arrays need, so it
    gets most of the heap. A stack is address space until it is used; but where it overflows in compiled code, unwinding
    takes four times as much again, and StackOverflowError must come before the memory limit does.
    """
    heap = memory_mb * 7 // 8 - 32
    stack = memory_mb // 8
    flags = (f"-Xmx{heap}m", f"-Xms{heap // 3}m", "-XX:NewRatio=4", f"-Xss{stack}m")
    return (*flags, "-XX:TieredStopAtLevel=1") if memory_mb < _SMALL_MB else flags
