// Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw (2011). The same
// counter and key give the same four words on every device, in any order of calls.

// Returns the high word of a 64-bit product, from products of 16-bit halves. No sum overflows.
fn multiply_high(a: u32, b: u32) -> u32 {
    let a_low = a & 0xffffu;
    let a_high = a >> 16u;
    let b_low = b & 0xffffu;
    let b_high = b >> 16u;
    let carry = a_high * b_low + ((a_low * b_low) >> 16u);
    let middle = a_low * b_high + (carry & 0xffffu);
    return a_high * b_high + (carry >> 16u) + (middle >> 16u);
}

fn philox(counter: vec4<u32>, key: vec2<u32>) -> vec4<u32> {
    var c = counter;
    var k = key;
    for (var round = 0u; round < 10u; round++) {
        let high_0 = multiply_high(0xd2511f53u, c.x);
        let high_2 = multiply_high(0xcd9e8d57u, c.z);
        c = vec4<u32>(high_2 ^ c.y ^ k.x, 0xcd9e8d57u * c.z, high_0 ^ c.w ^ k.y, 0xd2511f53u * c.x);
        k += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    }
    return c;
}
