package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"time"
)

func report() {
	status, _ := os.ReadFile("/proc/self/status")
	fmt.Print(string(status))
	for _, entry := range os.Environ() {
		fmt.Println("env", entry)
	}
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, entry := range entries {
		if to, err := os.Readlink("/proc/self/fd/" + entry.Name()); err == nil {
			fmt.Println("fd", entry.Name(), to)
		}
	}
	fmt.Println("cpus", runtime.NumCPU())
	cwd, _ := os.Getwd()
	fmt.Println("cwd", cwd)
	input, _ := io.ReadAll(os.Stdin)
	fmt.Println("stdin", len(input))
	os.Mkdir("made", 0o777)
	made, _ := os.Stat("made")
	fmt.Printf("made %o\n", made.Mode().Perm())
}

func down(left int) int {
	if left == 0 {
		return 0
	}
	return 1 + down(left-1)
}

func endless(left int) int { return 1 + endless(left+1) }

func main() {
	switch os.Args[1] {
	case "report":
		report()
	case "eat":
		fmt.Println("before")
		var held [][]byte
		for {
			piece := make([]byte, 1<<20)
			for i := range piece {
				piece[i] = 1
			}
			held = append(held, piece)
		}
	case "ask":
		fmt.Println("before")
		size := 1 << 37
		held := make([]byte, size)
		fmt.Println(len(held))
	case "deep":
		fmt.Println(down(50000))
	case "fall":
		fmt.Println(endless(0))
	case "flood":
		for {
			fmt.Println("tick")
		}
	case "fill":
		fmt.Println("before")
		file, _ := os.Create("big")
		for i := 0; i < 8; i++ {
			if _, err := file.Write(make([]byte, 1<<20)); err != nil {
				panic(err)
			}
		}
	case "crowd":
		fmt.Println("before")
		for i := 0; i < 60; i++ {
			go func() {
				runtime.LockOSThread()
				time.Sleep(20 * time.Second)
			}()
		}
		time.Sleep(300 * time.Millisecond)
		fmt.Println("all there")
	case "spin":
		fmt.Println("before")
		for {
		}
	case "doze":
		fmt.Println("before")
		time.Sleep(time.Minute)
	case "linger":
		time.Sleep(60 * time.Second)
	case "leave":
		child := exec.Command("/proc/self/exe", "linger")
		child.Stdout, child.Stderr = os.Stdout, os.Stderr
		child.Start()
		fmt.Println("gone")
	}
}
