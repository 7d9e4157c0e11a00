cimport anyws._wire.mask as mask

cpdef bytes frame_header(int first, object length, int mask_bit)

cpdef bytes frame(int first, payload, bytes key)
