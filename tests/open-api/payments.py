def check(s): pass
