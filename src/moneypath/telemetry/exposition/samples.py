"""What a renderer takes: numbers by label values."""

# The label values of one combination, in the order of the metric's labels.
Key = tuple[str, ...]
# The numbers of one combination; of a histogram its sum, then one count a bucket, +Inf last.
Cells = list[float]
