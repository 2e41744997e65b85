"""What scripts/gpu_check.sh runs: parts that check or measure one thing each, every part in a process of its own.

`driver` starts the processes and imports no TensorFlow. `work` is what such a process runs. It sends its results as
`rows` to the driver, which prints them and writes them to results.json.
"""
