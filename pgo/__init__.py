"""What the release build knows of the programs it is for; see README.md here."""
