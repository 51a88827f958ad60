"""What runs on a target: loads models into one backend and clocks them on request.

Python 3.8 syntax, standard library, numpy and the backend only, because all of it travels to boards.
Requests come as JSON lines on standard input, one reply line each goes to standard output.
"""
