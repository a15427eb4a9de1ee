`timescale 1ns/1ps
// A circuit beside the wafer: it sends 50 words, at most one a clock, and sums those that come back.
module circuit(input clk, input ready, output valid, output [31:0] data,
               input back_valid, input [31:0] back_data, output reg [31:0] sum, output reg [31:0] count,
               output reg [31:0] first, output reg [31:0] last);
  reg [31:0] sent = 0, clock = 0;
  initial begin sum = 0; count = 0; first = 0; last = 0; end
  assign valid = sent < 50;
  assign data = 3 * sent + 1;
  always @(posedge clk) begin
    clock <= clock + 1;
    if (valid && ready) sent <= sent + 1;
    if (back_valid) begin
      sum <= sum + back_data;
      count <= count + 1;
      last <= clock;
      if (count == 0) first <= clock;
    end
  end
endmodule
