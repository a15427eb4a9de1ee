"""Operations written as a schedule of messages: values, clocks and programs follow from it."""
