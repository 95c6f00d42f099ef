"""`python -m tests.benchmark`"""

from tests.benchmark.measure import main

if __name__ == "__main__":
    main()
