"""Power cuts and failing disks: what SQLite asked the disk for, recorded, cut off anywhere, and opened again.

A process writes through the real store while a preloaded library (recorder.c) writes down every call that changes
files (trace.py). Offline, disk.py knows what a disk may hold at any moment: what was synced is there, of all else any
part, in any order, torn between sectors. Each such disk is opened by the real store and judged (judging.py). In
failing.py the same library lets single calls fail instead.
"""
