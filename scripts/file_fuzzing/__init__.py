"""What scripts/fuzz_files.py runs: small valid files, mutations of them, and the project's readers of both.

`samples` writes the files, `mutations` changes their bytes, `structure` changes what the bytes mean, and `readers`
reads them in a worker process. `workers` starts such processes and counts how each file ended.
"""
