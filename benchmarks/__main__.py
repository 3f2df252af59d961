"""`python -m benchmarks` (`make bench`): every table, one after the other. Each runs alone too."""

from benchmarks import decoding, generation, overhead, pretrained, products, ragged, reading

for table in (reading, ragged, overhead, products, generation, decoding, pretrained):
    table.main()
    print()
