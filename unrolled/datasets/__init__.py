"""Files to batches: readers, codecs, splits, token files and samplers. Nothing here imports torch but sampler
and collate.
"""
