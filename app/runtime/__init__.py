"""Where store, engine and Telegram meet: turns, bots, hosts."""
