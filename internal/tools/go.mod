module sonde.example/internal/tools

go 1.26
