"""What the proof and the benchmarks share: a service as processes, keys by the thousand, and a client with a clock."""
