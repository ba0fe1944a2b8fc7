import time

for left in range(5, 0, -1):
    print(f"{left}…")
    time.sleep(0.3)
print("lift-off")
