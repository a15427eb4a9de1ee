// A design that uses a wafer over DPI-C: a sender with a credit counter, a receiver that takes a word every other clock.
module verilator #(parameter int WORDS = 40, CREDITS = 4) (
    input logic clock, reset, output logic done, output int first, output int last);

    import "DPI-C" function void wafer_offer(input int word, output bit taken);    // into the on-ramp of the first PE
    import "DPI-C" function void wafer_pop(output int word, output bit valid);     // from the core of the last PE
    import "DPI-C" function void wafer_step(output bit credit);                    // one cycle; whether a credit came back

    int sent, received, credits, cycle, word;
    bit taken, valid, credit;
    assign done = received == WORDS;

    always_ff @(posedge clock)
        if (reset) begin
            {sent, received, cycle, first, last} <= '0;
            credits <= CREDITS;
        end else if (!done) begin
            taken = 0;
            valid = 0;
            if (sent < WORDS && credits > 0) wafer_offer(32'h100 + sent, taken);
            if (cycle % 2 == 0) wafer_pop(word, valid);
            wafer_step(credit);
            if (valid && word != 32'h100 + received) $fatal(1, "word %0d is %0h", received, word);
            if (valid && received == 0) first <= cycle;
            if (valid) last <= cycle;
            sent <= sent + int'(taken);
            received <= received + int'(valid);
            credits <= credits - int'(taken) + int'(credit);
            cycle <= cycle + 1;
        end
endmodule
