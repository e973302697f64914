"""The fail2ban action: `banledger.py` in this folder is data, copied to fail2ban's `action.d`."""
