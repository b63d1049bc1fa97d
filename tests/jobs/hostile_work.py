"""Work for worker processes that ends badly; importable, as worker processes need it."""

import os
import time


def misbehave(task, announce):
    done = []
    for position, word in enumerate(task):
        announce(position)
        if word == "crash":
            os.abort()
        elif word == "exit":
            os._exit(7)
        elif word == "hang":
            time.sleep(60)
        elif word == "fill":
            bytearray(4 * 2**30)
        elif word == "raise":
            raise KeyError("defect")
        done.append(word)
    return done
