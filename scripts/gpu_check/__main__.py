"""The command line: `bash scripts/gpu_check.sh`."""

import sys

from gpu_check import driver, options

if __name__ == "__main__":
    sys.exit(driver.run(options.read(sys.argv[1:]), sys.argv[1:]))
