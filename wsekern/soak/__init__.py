"""Long differential runs: random fabrics, programs and operations, the kernels against their plain references and the engines
against each other, on every SIMD level and for several numbers of threads (``python -m wsekern.soak --minutes 10``).

The tests draw their random cases from here too.
"""
