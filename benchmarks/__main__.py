"""`python -m benchmarks` (`make bench`): every table, one after the other. Each runs alone too."""

from benchmarks import generation, overhead, ragged

for table in (ragged, overhead, generation):
    table.main()
    print()
