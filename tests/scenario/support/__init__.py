"""What the scenarios stand on: the binary under test, its peers on both sides, and certificates."""
