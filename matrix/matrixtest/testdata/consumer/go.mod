module example.org/consumer

go 1.26.0

require github.com/zmqmatrix/zmqmatrix v0.0.0

replace github.com/zmqmatrix/zmqmatrix => ../../../..
