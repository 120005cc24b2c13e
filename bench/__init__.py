"""Benchmarks: each compares two things side by side in one run and prints ratios, one JSON object per line.

Machines are noisy: rounds alternate between the two, the ratio is taken round by round, and its median is printed.
Nothing here asserts; figures are for people.
"""
