"""Benchmark data sets by name: one small definition each, read where they were unpacked."""
