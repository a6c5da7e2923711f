import sys
from pathlib import Path

# The bench's files import each other as scripts do: from their own folder.
sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "doctor"))
