package main

import "fmt"

func main() {
	fmt.Println("this will take a while")
	for turns := uint64(1); ; turns++ {
		if turns == 0 {
			fmt.Println("all the way round")
		}
	}
}
