// Writes a recurrent operator as an ONNX model. Field numbers are from onnx.proto3.

/** Types of TensorProto and AttributeProto. */
const FLOAT = 1;
const ATTRIBUTE_INT = 2;

/** The bytes of a protocol buffer message. */
class Message {
  bytes = [];

  varint(value) {
    for (; value >= 0x80; value = Math.floor(value / 0x80)) this.bytes.push((value % 0x80) | 0x80);
    this.bytes.push(value);
  }

  integer(field, value) {
    this.varint(field * 8);
    this.varint(value);
    return this;
  }

  raw(field, bytes) {
    this.varint(field * 8 + 2);
    this.varint(bytes.length);
    for (const byte of bytes) this.bytes.push(byte);
    return this;
  }

  text(field, value) {
    return this.raw(field, new TextEncoder().encode(value));
  }

  message(field, { bytes }) {
    return this.raw(field, bytes);
  }
}

/** A TensorProto of f32. */
function tensor(name, { shape, data }) {
  const message = new Message();
  for (const size of shape) message.integer(1, size);
  return message.integer(2, FLOAT).text(8, name).raw(9, new Uint8Array(data.buffer));
}

/** A ValueInfoProto of f32. */
function value(name, shape) {
  const sizes = new Message();
  for (const size of shape) sizes.message(1, new Message().integer(1, size));
  const tensor = new Message().integer(1, FLOAT).message(2, sizes);
  return new Message().text(1, name).message(2, new Message().message(1, tensor));
}

/** A model with one node, from X and the constant tensors to Y. */
export function onnx({ operator, integers, tensors, input, output }) {
  const node = new Message();
  for (const name of ["X", ...Object.keys(tensors)]) node.text(1, name);
  node.text(2, "Y").text(3, "rnn").text(4, operator);
  for (const [name, number] of Object.entries(integers)) {
    node.message(5, new Message().text(1, name).integer(3, number).integer(20, ATTRIBUTE_INT));
  }
  const graph = new Message().message(1, node).text(2, "network");
  for (const [name, of] of Object.entries(tensors)) graph.message(5, tensor(name, of));
  graph.message(11, value("X", input)).message(12, value("Y", output));
  const operators = new Message().integer(2, 14);
  const model = new Message().integer(1, 7).message(7, graph).message(8, operators);
  return Uint8Array.from(model.bytes);
}
