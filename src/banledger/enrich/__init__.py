"""What is known of an offender's address besides the address."""
