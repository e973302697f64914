"""Key-value engines and their contract. They know nothing about bans."""
