"""The wallet: customers top up a purse, send money to another one, and withdraw to their bank."""
