"""The fail2ban action: `banledger.py` beside this file is data, copied to fail2ban's `action.d`."""
