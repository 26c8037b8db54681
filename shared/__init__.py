"""What every service builds on; nothing here knows that the services exist."""
