"""The real chain: how it is reached, and a private one to practise on. The only package here that knows web3."""
