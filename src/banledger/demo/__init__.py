"""The demo's data: `auth.log.gz`, a real log of a server under attack. See NOTICE for where it is from."""
