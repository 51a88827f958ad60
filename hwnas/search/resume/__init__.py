"""What it takes to go on with a run: its study opened, recovered, and perhaps measured again."""
