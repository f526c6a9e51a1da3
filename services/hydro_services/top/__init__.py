"""What `hydro top` shows: `samples` (what parts tell), `view` (what follows), `watch` (asks)."""
