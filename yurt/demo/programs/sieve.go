package main

import "fmt"

func numbers(to chan<- int) {
	for n := 2; ; n++ {
		to <- n
	}
}

func withoutMultiples(of int, from <-chan int, to chan<- int) {
	for n := range from {
		if n%of != 0 {
			to <- n
		}
	}
}

func main() {
	stage := make(chan int)
	go numbers(stage)
	for range [12]int{} {
		prime := <-stage
		fmt.Print(prime, " ")
		next := make(chan int)
		go withoutMultiples(prime, stage, next)
		stage = next
	}
	fmt.Println()
}
