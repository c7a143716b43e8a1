"""How the process itself fares: memory, CPU, threads, files, garbage collections, event loops, GPUs.

What is counted as it happens (`garbage`, `loops`) costs a microsecond; the rest is read when a snapshot is taken.
"""
