import '../jest-setup';
