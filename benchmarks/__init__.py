"""Speed and size, side by side with the peer or the limit in the same run; each ends with one line of JSON."""
