"""The promises of the product, tried in ways that tests in passing cannot: ``make prove``.

Each module but the last few is one chapter: ``run(scale)`` tries something many times and returns what it tried and
found (``report.Chapter``). The full run writes ``docs/proof.md``; ``QUICK=1`` tries less and writes nothing.
"""
