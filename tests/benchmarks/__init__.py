"""make bench: how fast keys are verified, beside what a bare route and a SELECT a request take in the same run."""
