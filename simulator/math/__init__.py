"""One module per Uniswap V3 contract library, under the same function names."""
