"""Questions of windows that are interrupted in the process when so many are answered."""


def after(count, call, done):
    """Return ``call`` of a window's question, its last argument, interrupted after ``count``; done: gets windows."""

    def stopping(*given):
        if len(done) == count:
            raise KeyboardInterrupt
        done.append(given[-1].window)
        return call(*given)

    return stopping
